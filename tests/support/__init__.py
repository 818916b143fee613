"""What several tests use: servers, workers, clients, data and references. Test modules import from here only."""
