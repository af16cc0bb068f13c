"""Networks that do not fit: each worker keeps a part of every weight, of its average and of its moments.

This is FSDP (torch's `fully_shard`). The weights of one unit of the network at a time are gathered from all workers
just before it computes, forwards or backwards, and are let go of after it; the gradient is averaged over the workers,
and each keeps that of its own part. A sharded tensor has the name and the shape of the whole one: a checkpoint holds
whole tensors, and does not depend on who trained it.
"""

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ..errors import InputError

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.model_parallel import ModelParallelStrategy


def sharded_over(workers: int) -> "ModelParallelStrategy":
    """Fabric's strategy for workers that share the weights; its `FSDPStrategy` runs on no CPU.

    Args:
        workers: processes, on all machines together.
    """
    from lightning_fabric.strategies.model_parallel import ModelParallelStrategy

    return ModelParallelStrategy(_shard, data_parallel_size=workers, tensor_parallel_size=1)


def place_as_trained(network: nn.Module, fabric: "Fabric") -> None:
    """Puts a network that only follows, such as the average, where the trained one is: on the device, or in parts.

    Args:
        network: is changed.
        fabric: has set up the trained one.
    """
    mesh = getattr(fabric.strategy, "device_mesh", None)
    if mesh is None:
        network.to(fabric.device)
    else:
        _shard(network, mesh)


def _shard(network: nn.Module, mesh: Any) -> nn.Module:
    """Divides the weights among the workers of the mesh; InputError if one has no axis to divide."""
    for name, weight in network.named_parameters():
        if not weight.ndim:
            raise InputError(
                f"train.strategy is fsdp, which divides weights along their first axis: {name} is one number without "
                "an axis; make it a tensor of shape (1,), or take ddp"
            )
    from torch.distributed.fsdp import fully_shard

    view = rf"FSDP2-wrapped module \(FSDP{type(network).__name__}\) returned a view"  # which nobody changes in place
    warnings.filterwarnings("ignore", view)
    for module in (*units(network), network):  # the network itself takes what is left
        fully_shard(module, mesh=mesh["data_parallel"], reshard_after_forward=True)
    return network


def units(network: nn.Module) -> list[nn.Module]:
    """What is gathered on its own: the items of the outermost module lists, such as the layers of a transformer.

    The rest of a network is gathered for as long as the network computes. A network in which modules share a weight
    has no units, since these would no longer share it.

    Args:
        network: any one.
    """
    shared = len(list(network.named_parameters(remove_duplicate=False))) > len(list(network.parameters()))
    return [] if shared else _listed(network)


def _listed(network: nn.Module, in_list: bool = False) -> list[nn.Module]:
    is_list = isinstance(network, nn.ModuleList)
    if in_list and not is_list:
        return [network] if any(True for _ in network.parameters()) else []
    return [unit for child in network.children() for unit in _listed(child, is_list)]


def whole(tensor: Tensor) -> Tensor:
    """The whole of a tensor, on every worker; all of them must ask for it. A tensor that is no part stays as it is."""
    gather = getattr(tensor, "full_tensor", None)  # of a DTensor, whose class takes a second to import
    return gather() if gather else tensor


def own(tensor: Tensor) -> Tensor:
    """This worker's part of a tensor, in its memory; a tensor that is no part is its own."""
    part = getattr(tensor, "to_local", None)
    return part() if part else tensor


def divided(tensor: Tensor, like: Tensor) -> Tensor:
    """A tensor that every worker has, in parts as another one of its shape is; as it is, where the other is whole.

    Args:
        tensor: the whole.
        like: of the same shape.
    """
    if own(like) is like:
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


def collected(tensors: Mapping[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """The whole tensors, put together one by one in the memory of the host; all workers must ask for them.

    Args:
        tensors: name → tensor, parts among them.
        keep: whether this worker wants them; the others get nothing.
    """
    found = {}
    for name, tensor in tensors.items():
        one = whole(tensor)
        if keep:
            found[name] = tensor if one is tensor else one.cpu()
    return found
