"""Running the service: its processes, a backup, and finding out what is wrong with a machine."""
