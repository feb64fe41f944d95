"""What a tracing SDK costs the code that it traces; all but `drive` runs in the SDKs' own environments."""
