#!/bin/sh
# Stands where a real kit starts its client. The quickstart's image has an entry point of its own.
echo "this kit is an example and starts nothing" >&2
exit 1
