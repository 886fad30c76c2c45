"""What a plug-in describes: models, methods and vocabularies. Importing this loads no PyTorch.

A package that declares an entry point of one of the groups in `tagbox.plugins.discovery` adds to TagBox what
the entry point names: one of these descriptions, or a tuple of them.
"""

from tagbox.plugins.descriptions import HubClass, Method, Model, Vocabulary

__all__ = ["HubClass", "Method", "Model", "Vocabulary"]
