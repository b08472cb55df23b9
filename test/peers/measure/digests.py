"""Computes launch digests by the functions of sev-snp-measure.

Standard input is a JSON list of cases, standard output a JSON object: "results" has for each case its digest as
{"hex": …} or {"refused": …}, "cpus" the signature of each CPU model that the package knows.
"""

import json
import sys

from sevsnpmeasure import guest, vcpu_types
from sevsnpmeasure.sev_mode import SevMode
from sevsnpmeasure.vmm_types import VMMType

VMMS = {"qemu": VMMType.QEMU, "ec2": VMMType.ec2, "gce": VMMType.gce}


def signature(cpu):
    """The signature of a model's name, of 0x<hex>, or of <family>/<model>/<stepping>."""
    if cpu.startswith("0x"):
        return int(cpu, 16)
    if "/" in cpu:
        return vcpu_types.cpu_sig(*map(int, cpu.split("/")))
    return vcpu_types.CPU_SIGS[cpu]


def digest(case):
    if case["mode"] == "snp:ovmf-hash":
        return guest.calc_snp_ovmf_hash(case["ovmf"])
    seed = guest.calc_snp_ovmf_hash(case["ovmf"]).hex() if case["seeded"] else ""
    return guest.calc_launch_digest(
        SevMode.from_str(case["mode"]),
        case["vcpus"],
        signature(case["cpu"]),
        case["ovmf"],
        case["kernel"],
        case["initrd"],
        case["append"],
        int(case["features"], 16),
        seed,
        VMMS[case["vmm"]],
    )


def result(case):
    try:
        return {"hex": digest(case).hex()}
    except (RuntimeError, ValueError, AssertionError) as error:
        return {"refused": f"{type(error).__name__}: {error}"}


json.dump(
    {"results": [result(case) for case in json.load(sys.stdin)], "cpus": vcpu_types.CPU_SIGS},
    sys.stdout,
)
