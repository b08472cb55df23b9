#!/bin/sh
# What project.yml names as build_image_cmd for a trial: FLARE gives the command no options, so --dev stands here.
# On SEV-SNP hardware, name cvm_build.sh itself.
here=$(dirname -- "$(readlink -f -- "$0")")
exec "$here/../../cvm_build.sh" --dev "$@"
