#!/bin/sh
# The tree of a container: what stat says, targets of symbolic links, content of files. Other file systems are left out.
cd /
find . -xdev -exec stat -c 'node %f %u %g %s %Y %d:%i %n' {} +
find . -xdev -type l -exec sh -c 'for link; do printf "link %s\n" "$link"; readlink "$link"; done' sh {} +
find . -xdev -type f -exec sha256sum {} +
echo 'list done'
