"""The calls of the public interface, a module per noun. A route parses, calls, answers; nothing else."""
