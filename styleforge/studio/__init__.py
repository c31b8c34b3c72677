"""The browser window over jobs: a server on this machine, one heavy job at a time."""
