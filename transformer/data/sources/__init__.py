"""Files, folders and patterns in many formats -> documents."""
