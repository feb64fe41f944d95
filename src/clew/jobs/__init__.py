"""Work that is done beside requests: learning from finished traces."""
