"""The test cluster itself keeps what it promises."""

from __future__ import annotations


def test_an_array_runs_on_gpus_at_most_so_many_at_once(slurm_cluster, tmp_path):
    script = f"echo $SLURM_ARRAY_TASK_ID $CUDA_VISIBLE_DEVICES > {tmp_path}/$SLURM_ARRAY_TASK_ID"
    slurm_cluster.run(
        [
            "sbatch",
            "--wait",
            "--array=0-3%2",
            "--gres=gpu:2",
            "--output=/dev/null",
            f"--wrap={script}",
        ]
    )
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == [
        f"{index} 0,1\n" for index in range(4)
    ]
