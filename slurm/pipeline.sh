#!/bin/bash
# Submits everything from the downloads to the catalog, each step after what it needs:
#
#   download_metadata ─┐
#   download_eol ──────┤
#   download_inat21 ───┼─► scan (array) ─► ingest ─► plan
#   download_bioscan ──┘                               └─► (tol-db slurm submit:) array ─► collect ─► verify ─► report
#                                                                                            └─► catalog, when all is there
#
#   . slurm/profiles/hipergator.sh
#   export TOL_DB=/blue/lab/tol.sqlite TOL_DB_SLURM_DATA=/blue/lab/TreeOfLife-10M TOL_DB_SLURM_OUT=/blue/lab/shards
#   bash slurm/pipeline.sh                # all of it
#   bash slurm/pipeline.sh scan plan      # the data are there already
#   bash slurm/pipeline.sh ingest plan    # they are scanned already, or one job is to scan them
#
# It can be run again: what is there is kept, begun downloads and scans go on, only pending shards are submitted.
set -euo pipefail

# Settings: from the environment, else as they stand here.
: "${TOL_DB:?name the database}"
: "${TOL_DB_SLURM_DATA:?name the tree: the folder TreeOfLife-10M}"
: "${TOL_DB_SLURM_OUT:?name the output root, a folder that all nodes see}"
: "${TOL_DB_SLURM_ACCOUNT:=}"
: "${TOL_DB_SLURM_PARTITION:=}"
: "${TOL_DB_SLURM_SBATCH_OPTIONS:=}"     # for all jobs: --qos=x
: "${TOL_DB_SLURM_SHARES:=63}"           # tasks of the scan
: "${TOL_DB_SLURM_LOGS:=$PWD}"           # where the logs of downloads, scan and plan go

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOL_DB_SLURM_SCRIPTS=$here
export TOL_DB TOL_DB_SLURM_DATA TOL_DB_SLURM_OUT TOL_DB_SLURM_ACCOUNT TOL_DB_SLURM_PARTITION TOL_DB_SLURM_SCRIPTS
export TOL_DB_SLURM_SHARES TOL_DB_SLURM_SBATCH_OPTIONS

if [ "$#" -eq 0 ]; then set -- download scan plan; fi
for step in "$@"; do
  case $step in
    download|scan|ingest|plan) ;;
    *) echo "pipeline.sh: no step '$step': download, scan, ingest, plan" >&2; exit 2 ;;
  esac
done
command -v sbatch >/dev/null || { echo "pipeline.sh: no sbatch here: run it on a login node" >&2; exit 66; }
mkdir -p "$TOL_DB_SLURM_LOGS"

# submit NAME DEPENDENCY OPTION…: the number of the job
submit() {
  local name=$1 dependency=$2
  shift 2
  # shellcheck disable=SC2086  # options are words
  sbatch --parsable --chdir="$TOL_DB_SLURM_LOGS" ${dependency:+--dependency="$dependency" --kill-on-invalid-dep=yes} \
    ${TOL_DB_SLURM_ACCOUNT:+--account="$TOL_DB_SLURM_ACCOUNT"} \
    ${TOL_DB_SLURM_PARTITION:+--partition="$TOL_DB_SLURM_PARTITION"} \
    $TOL_DB_SLURM_SBATCH_OPTIONS "$@" "$here/$name.sbatch" | cut -d';' -f1
}

wanted() { case " $steps " in *" $1 "*) ;; *) return 1 ;; esac; }
steps="$*"
downloads=                               # what the next step needs: all of these, and they must have succeeded
scan=                                    # however it ended: what it has not scanned the next step reads by itself
if wanted download; then
  for what in metadata eol inat21 bioscan; do
    job=$(submit "download_$what" "")
    echo "download_$what job $job"
    downloads=$downloads:$job
  done
fi
if wanted scan; then
  job=$(submit scan "${downloads:+afterok$downloads}" --array="0-$((TOL_DB_SLURM_SHARES - 1))")
  echo "scan job $job, $TOL_DB_SLURM_SHARES tasks"
  scan=afterany:$job
fi
if wanted scan || wanted ingest; then
  after=${downloads:+afterok$downloads}${downloads:+${scan:+,}}$scan
  job=$(submit ingest "$after")
  echo "ingest job $job"
  downloads=:$job
fi
if wanted plan; then
  job=$(submit plan "${downloads:+afterok$downloads}")
  echo "plan job $job"
fi
