"""Makes Prefect's names Entrepot's in the worker processes of a script that runs by `python -m entrepot.compat`.

They import the script anew, with its `sys.path`; this folder is on it, since no import hook reaches them.
"""

from importlib import import_module

from entrepot.compat.prefect import install

install(replace=True)  # sets this very module aside
import_module("prefect")  # for the import that is under way, which takes what it finds under the name
