#!/bin/sh
# Eight workers with a GPU each. Slurm's warning a minute before the end lets them hand their jobs back.
# HPOSVC_DATABASE_URL and HPOSVC_STORE_URL are taken from where this is run.
sbatch --job-name=hposvc --array=0-7 --gpus-per-task=1 --cpus-per-task=4 --time=1-0 --signal=TERM@60 --wrap "exec srun hposvc worker --gpus all"
