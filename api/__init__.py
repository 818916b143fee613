"""The HTTP deployable: a thin layer over ``hposvc.jobs``, and the dashboard that uses the public calls only."""
