from prefect.blocks.system import Secret


@task
def use_secret():
    api_key = Secret.load("my-api-key").get()
    return f"Using key: {api_key[:4]}..."


import os

@task
def use_env_var():
    return os.getenv("MY_SECRET")
