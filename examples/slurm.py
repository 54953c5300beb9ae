"""A dask scheduler that asks SLURM for workers: leave it running, and give its address to driftax.

    pip install 'driftax[dask]' dask-jobqueue
    python examples/slurm.py                    # prints tcp://ADDRESS
    driftax verify STUDY --executor dask --scheduler tcp://ADDRESS

Change the names in capitals to those of your cluster.
"""

import signal

from dask_jobqueue import SLURMCluster

JOBS = 32
QUEUE = "PARTITION"
INTERFACE = None  # of the network between the nodes, such as "ib0"
ENVIRONMENT = [
    "source /PATH/TO/.venv/bin/activate",
    "export JAX_ENABLE_X64=true",
    # One device per worker; and one set of instructions, so that nodes of several kinds round alike.
    'export XLA_FLAGS="--xla_force_host_platform_device_count=1 --xla_cpu_max_isa=AVX2"',
]


def cluster() -> SLURMCluster:
    """Jobs of one worker each; workers end before their job does, and hand back what they had."""
    return SLURMCluster(
        queue=QUEUE,
        cores=1,
        processes=1,
        memory="4GB",
        walltime="02:00:00",
        interface=INTERFACE,
        job_script_prologue=ENVIRONMENT,
        worker_extra_args=["--lifetime", "110m", "--lifetime-stagger", "5m"],
    )


if __name__ == "__main__":
    with cluster() as jobs:
        jobs.scale(jobs=JOBS)
        print(jobs.scheduler_address, flush=True)
        signal.pause()
