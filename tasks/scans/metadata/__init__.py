"""What a scan's file says of its subject and rights: every place that a standard allows, joined."""
