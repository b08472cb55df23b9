"""The clients' part of the job hello-numpy: each round adds one to every weight of the model, and calls that training."""

import nvflare.client as flare


def train(weights):
    return weights + 1


flare.init()
site = flare.get_site_name()
while flare.is_running():
    model = flare.receive()
    print(f"{site}: round {model.current_round + 1} of {model.total_rounds}", flush=True)
    trained = {name: train(weights) for name, weights in model.params.items()}
    mean = float(sum(weights.mean() for weights in trained.values()) / len(trained))
    print(f"{site}: mean weight {mean}", flush=True)
    flare.send(flare.FLModel(params=trained, metrics={"mean_weight": mean}, meta={"NUM_STEPS_CURRENT_ROUND": 1}))
