"""Who may do what, and how much of it: tenants, their keys, sessions of the dashboard, quotas."""
