"""Prepare a task: resolve the tags and load the models; cheap checks come first."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tagbox.errors import TagBoxError
from tagbox.free_text import tags_heard, words_to_compare
from tagbox.generators.base import Generator
from tagbox.kernels import devices
from tagbox.methods.registry import find_method
from tagbox.methods.task import Task
from tagbox.models import load_generator, load_tagger
from tagbox.settings import Settings
from tagbox.taggers.names import TaggerName
from tagbox.taggers.tagger import Tagger
from tagbox.tags.query import check_queries, target_tags
from tagbox.weights import store

SHARE_NETWORK = TaggerName("rendered", "shares")


def prepare_task(queries: Sequence[str], settings: Settings, device: str) -> Task:
    """Resolve `queries`, one a source, and load the models that `settings` name onto `device`.

    Raises:
        TagBoxError: no tag, a tag that a vocabulary cannot express, or a model that is not there.
    """
    check_queries(queries)
    names = [TaggerName.parse(name) for name in settings.taggers]
    vocabularies = [store.vocabulary_of(name) for name in settings.taggers]
    tags_by_query = {query: tags_heard(query, vocabularies, settings) for query in queries}
    words = words_to_compare(tags_by_query, vocabularies, settings)
    selected = devices.select_device(device)
    dtype = devices.select_dtype(settings.precision, selected)
    taggers = tuple(load_tagger(name.architecture, name.data, selected, words) for name in names)
    method = find_method(settings.steer)
    generator, share_network = None, None
    if method.needs_share_network:
        share_network = _load_share_network(queries, settings.without, selected, dtype)
    if method.needs_generator:
        generator = _load_generator(settings, selected, dtype)
    targets = tuple(
        torch.stack([_multi_hot(tags_by_query[query][i], tagger.tags) for query in queries]).to(selected)
        for i, tagger in enumerate(taggers)
    )
    return Task(
        queries=tuple(queries),
        target_tags=tags_by_query,
        targets=targets,
        settings=settings,
        taggers=taggers,
        steering_taggers=tuple(tagger.to_precision(dtype) for tagger in taggers),
        generator=generator,
        device=selected,
        share_network=share_network,
    )


def _load_share_network(
    queries: Sequence[str], without: Sequence[str], device: torch.device, dtype: torch.dtype
) -> Tagger:
    for query in queries:
        target_tags(query, SHARE_NETWORK.data, without=without)
    return load_tagger(SHARE_NETWORK.architecture, SHARE_NETWORK.data, device).to_precision(dtype)


def _load_generator(settings: Settings, device: torch.device, dtype: torch.dtype) -> Generator:
    generator = load_generator(settings.generator, device).to_precision(dtype)
    if settings.level >= len(generator.hops):
        coarsest = len(generator.hops) - 1
        raise TagBoxError(
            f"the generator {generator.name} has no level {settings.level}; give 0 to {coarsest}"
        )
    return generator


def _multi_hot(tags: Sequence[str], vocabulary: Sequence[str]) -> Tensor:
    return torch.tensor([float(tag in tags) for tag in vocabulary])
