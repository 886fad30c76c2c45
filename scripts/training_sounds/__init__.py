"""Sounds to learn separation from: one module an idea, each run as `python -m scripts.training_sounds.NAME`.

All write phrases of one instrument into a folder, as `bank.py` describes it. `sources.py` says where each
sound comes from and under which licence.
"""
