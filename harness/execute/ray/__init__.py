"""Jobs on a Ray cluster: the same plan, children and store, on the machines that Ray knows.

    pool.py      the driver: what an executor uses in place of its own children
    bench.py     seats on the cluster: who gets the next job, who is lost, who is given back
    seat.py      an actor that holds one core or one GPU and runs jobs in child processes beside it
    connect.py   finding, joining and leaving a cluster
    alike.py     whether a node runs the same code as the driver

Nothing here is imported unless Ray was asked for, and only ``pool`` and ``bench`` import Ray.
"""
