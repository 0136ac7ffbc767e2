"""Secrets: kept sealed and loaded by name, or taken from the environment."""

from entrepot import task
from entrepot.blocks.system import Secret

# `entrepot block create secret my-api-key` asks for it without showing it.


@task
def use_secret():
    api_key = Secret.load("my-api-key").get()
    # An API would be called with it here.
    return f"Using key: {api_key[:4]}..."


# Some secrets come with the machine.
import os


@task
def use_env_var():
    return os.getenv("MY_SECRET")


if __name__ == "__main__":
    Secret(value="sk-only-an-example").save("my-api-key", overwrite=True)
    print(use_secret())
    print(use_env_var())
