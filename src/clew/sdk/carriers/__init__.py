"""What must carry the current span by itself, because Python does not: one file each."""
