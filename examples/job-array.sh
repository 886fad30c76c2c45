#!/bin/sh
# Separate a folder on a cluster, each task its part of it, all into one folder:
#
#   sbatch --array=1-20 --cpus-per-task=4 examples/job-array.sh MUSIC OUT --tags vocals
#
# Without Slurm, by GNU parallel on the machines of a file, or one after the other:
#
#   parallel --sshloginfile machines 'TASK={} TASKS=20 sh examples/job-array.sh MUSIC OUT --tags vocals' ::: $(seq 20)
#   for i in $(seq 20); do TASK=$i TASKS=20 sh examples/job-array.sh MUSIC OUT --tags vocals; done
#
# A task that failed or ran out of time is submitted again as it was: what is done is left alone.
set -eu
music=$1 out=$2
shift 2
task=${SLURM_ARRAY_TASK_ID:-${TASK:?is the number of this task, from 1}}
tasks=${SLURM_ARRAY_TASK_COUNT:-${TASKS:?is the number of all tasks}}
exec tagbox separate "$music" -o "$out" --part "$task/$tasks" "$@"
