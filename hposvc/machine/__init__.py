"""What this machine has: memory, GPUs, CUDA, and Jittor prepared for it."""
