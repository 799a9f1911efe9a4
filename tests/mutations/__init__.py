"""Mutated inputs: damaged, contradictory and hostile checkpoints, data folders and bundles.

damage.py                bytes and numbers of any file
archives.py pickles.py   torch files: the container and the program inside
tensors.py               what a torch file holds
folders.py bundles.py    data folders, character bundles
seeds.py                 the valid inputs all of this starts from
cases.py                 one case by number: make, give to the product, judge
tripwire.py hostile.py   was anything called?
"""
