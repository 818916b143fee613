"""One job from its spec to its result, in one process."""
