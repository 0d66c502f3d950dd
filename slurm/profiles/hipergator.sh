# A cluster like HiPerGator: homes of 40 GB, /blue/<group> (Lustre, tens of TB) for data, an account and a QOS per
# group, burst hours under <account>-b, disks of the nodes at $SLURM_TMPDIR, sbatch works on the nodes.
#
#   GROUP=mylab; . slurm/profiles/hipergator.sh
: "${GROUP:?name your group: GROUP=mylab}"

export TOL_DB_SLURM_ACCOUNT="${TOL_DB_SLURM_ACCOUNT:-$GROUP}"
export TOL_DB_SLURM_PARTITION="${TOL_DB_SLURM_PARTITION:-hpg-default}"
export TOL_DB_SLURM_SBATCH_OPTIONS="${TOL_DB_SLURM_SBATCH_OPTIONS:---qos=$GROUP-b}"     # burst: four days at most
export TOL_DB_SLURM_TIME="${TOL_DB_SLURM_TIME:-12:00:00}"
export TOL_DB_SLURM_CPUS="${TOL_DB_SLURM_CPUS:-16}"
export TOL_DB_SLURM_MEM="${TOL_DB_SLURM_MEM:-16G}"
export TOL_DB_SLURM_THROTTLE="${TOL_DB_SLURM_THROTTLE:-16}"                             # 256 cores at once

# a venv or conda environment under /blue: 40 GB of home are full soon
export TOL_DB_SLURM_SETUP="${TOL_DB_SLURM_SETUP:-module load conda && conda activate /blue/$GROUP/envs/tol}"

# what sbatch reads where scripts are submitted by hand
export SBATCH_ACCOUNT="$TOL_DB_SLURM_ACCOUNT" SBATCH_PARTITION="$TOL_DB_SLURM_PARTITION"

# the database on /blue: journal DELETE, one writer at a time; the tree and the shards beside it
export TOL_DB="${TOL_DB:-/blue/$GROUP/tol/tol.sqlite}"
export TOL_DB_SLURM_DATA="${TOL_DB_SLURM_DATA:-/blue/$GROUP/tol/TreeOfLife-10M}"
export TOL_DB_SLURM_OUT="${TOL_DB_SLURM_OUT:-/blue/$GROUP/tol/shards}"
