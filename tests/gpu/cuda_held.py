"""How much memory of the device this process holds, the libraries' own left out."""

import torch


def held() -> int:
    """Return the bytes of live tensors.

    cuBLAS keeps workspaces (32 MiB on an H100) in the same allocator once a matrix was multiplied; they are made again
    when they are needed. Nothing is collected here: what only a cycle keeps alive must show.
    """
    torch.cuda.synchronize()
    torch._C._cuda_clearCublasWorkspaces()
    return torch.cuda.memory_allocated()
