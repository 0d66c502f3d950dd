# A cluster like those of the Ohio Supercomputer Center: homes of 500 GB (NFS), projects at /fs/ess/<project> (GPFS),
# scratch at /fs/scratch/<project> (GPFS, files are removed after some weeks), disks of the nodes at $TMPDIR, seven
# days at most, no partition to name. Several clusters see the same files: submit and cancel on the same one.
#
#   PROJECT=PAS1234; . slurm/profiles/osc.sh
: "${PROJECT:?name your project: PROJECT=PAS1234}"

export TOL_DB_SLURM_ACCOUNT="${TOL_DB_SLURM_ACCOUNT:-$PROJECT}"
export TOL_DB_SLURM_TIME="${TOL_DB_SLURM_TIME:-10:00:00}"
export TOL_DB_SLURM_CPUS="${TOL_DB_SLURM_CPUS:-24}"
export TOL_DB_SLURM_MEM="${TOL_DB_SLURM_MEM:-24G}"
export TOL_DB_SLURM_THROTTLE="${TOL_DB_SLURM_THROTTLE:-10}"

export TOL_DB_SLURM_SETUP="${TOL_DB_SLURM_SETUP:-module load miniconda3 && source activate /fs/ess/$PROJECT/envs/tol}"

# what sbatch reads where scripts are submitted by hand
export SBATCH_ACCOUNT="$TOL_DB_SLURM_ACCOUNT"

# the database on project space, which has snapshots; the tree on scratch, where it can be fetched again
export TOL_DB="${TOL_DB:-/fs/ess/$PROJECT/tol/tol.sqlite}"
export TOL_DB_SLURM_DATA="${TOL_DB_SLURM_DATA:-/fs/scratch/$PROJECT/TreeOfLife-10M}"
export TOL_DB_SLURM_OUT="${TOL_DB_SLURM_OUT:-/fs/ess/$PROJECT/tol/shards}"
