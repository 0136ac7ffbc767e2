"""Makes Prefect's names Entrepot's in processes that multiprocessing starts where they are installed.

Such a process gets the `sys.path` of the one that started it, which has this folder, and none of its import hooks.
"""

from importlib import import_module

from entrepot.compat.prefect import install

install(replace=True)  # sets this very module aside
import_module("prefect")  # for the import that is under way, which takes what it finds under the name
