#!/bin/bash
# Submits everything from the downloads to the catalog, each step after what it needs:
#
#   download_metadata ─┐
#   download_eol ──────┤
#   download_inat21 ───┼─► scan ─► plan ─► (tol-db slurm submit:) array ─► collect ─► verify ─► report
#   download_bioscan ──┘                                                     └─► catalog, when all shards are there
#
#   . slurm/profiles/hipergator.sh
#   export TOL_DB=/blue/lab/tol.sqlite TOL_DB_SLURM_DATA=/blue/lab/TreeOfLife-10M TOL_DB_SLURM_OUT=/blue/lab/shards
#   bash slurm/pipeline.sh                # all of it
#   bash slurm/pipeline.sh scan plan      # the data are there already
#
# It can be run again: what is there is kept, begun downloads and scans go on, only pending shards are submitted.
set -euo pipefail

# Settings: from the environment, else as they stand here.
: "${TOL_DB:?name the database}"
: "${TOL_DB_SLURM_DATA:?name the tree: the folder TreeOfLife-10M}"
: "${TOL_DB_SLURM_OUT:?name the output root, a folder that all nodes see}"
: "${TOL_DB_SLURM_ACCOUNT:=}"
: "${TOL_DB_SLURM_PARTITION:=}"
: "${TOL_DB_SLURM_LOGS:=$PWD}"           # where the logs of downloads, scan and plan go

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOL_DB_SLURM_SCRIPTS=$here
export TOL_DB TOL_DB_SLURM_DATA TOL_DB_SLURM_OUT TOL_DB_SLURM_ACCOUNT TOL_DB_SLURM_PARTITION TOL_DB_SLURM_SCRIPTS

if [ "$#" -eq 0 ]; then set -- download scan plan; fi
for step in "$@"; do
  case $step in
    download|scan|plan) ;;
    *) echo "pipeline.sh: no step '$step': download, scan, plan" >&2; exit 2 ;;
  esac
done
command -v sbatch >/dev/null || { echo "pipeline.sh: no sbatch here: run it on a login node" >&2; exit 66; }
mkdir -p "$TOL_DB_SLURM_LOGS"

# submit NAME DEPENDENCY: the number of the job
submit() {
  sbatch --parsable --chdir="$TOL_DB_SLURM_LOGS" ${2:+--dependency="$2" --kill-on-invalid-dep=yes} \
    ${TOL_DB_SLURM_ACCOUNT:+--account="$TOL_DB_SLURM_ACCOUNT"} \
    ${TOL_DB_SLURM_PARTITION:+--partition="$TOL_DB_SLURM_PARTITION"} \
    "$here/$1.sbatch" | cut -d';' -f1
}

after=
for step in download scan plan; do
  case " $* " in *" $step "*) ;; *) continue ;; esac
  if [ "$step" = download ]; then
    for what in metadata eol inat21 bioscan; do
      job=$(submit "download_$what" "")
      echo "download_$what job $job"
      after=$after:$job
    done
  else
    job=$(submit "$step" "${after:+afterok$after}")
    echo "$step job $job"
    after=:$job
  fi
done
