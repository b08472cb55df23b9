"""Runs a command as the provisioning tool does: one blocking line of stdout, then one of stderr, in turn.

reader.py <delay in ms per pair> <pipe size, 0 for the kernel's> <file made at the first line of stderr, or ->
    <path whose coming is watched for, or -> <command...>
Prints what was read as JSON.
"""
import fcntl
import json
import os
import re
import subprocess
import sys
import time

delay, pipe_size = float(sys.argv[1]) / 1000, int(sys.argv[2])
touch, watch, command = sys.argv[3], sys.argv[4], sys.argv[5:]
F_SETPIPE_SZ = 1031
process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
if pipe_size:
    for stream in (process.stdout, process.stderr):
        fcntl.fcntl(stream.fileno(), F_SETPIPE_SZ, pipe_size)
out, err, bundle, early = [], [], None, 0
while True:
    line = process.stdout.readline()
    if line:
        out.append(line)
        match = re.search(r"CVM Bundle\s+([^\s]+)\s+is ready", line)
        if match and bundle is None:
            bundle = match.group(1)
    error_line = process.stderr.readline()
    if error_line:
        err.append(error_line)
        if touch != "-":
            open(touch, "w").close()
    if not os.path.exists(watch):
        early = len(out) + len(err)
    if not line and not error_line and process.poll() is not None:
        break
    time.sleep(delay)
print(json.dumps({"status": process.returncode, "bundle": bundle, "out": out, "err": err, "early": early}))
