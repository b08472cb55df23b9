#!/bin/sh
# Builds OVMF.amdsev.fd from Debian's edk2 source and the patches beside this script. It runs as root of a file
# system made for it, in /firmware, and leaves the result there. Everything that enters the result is fixed: paths,
# times, environment. Each line that begins with "step:" is shown as progress.
set -eu
exec 2>&1

if [ "${1:-}" != clean ]; then
  exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/firmware LC_ALL=C.UTF-8 TZ=UTC sh "$0" clean
fi
umask 022
cd /firmware

echo 'step: unpacking the source'
mkdir edk2
tar --extract --file "$(echo edk2_*.orig.tar.xz)" --strip-components=1 --directory edk2
tar --extract --file "$(echo edk2_*.debian.tar.xz)" --directory edk2
cd edk2

version=$(sed -n '1s/^edk2 (\(.*\)) .*/\1/p' debian/changelog)
SOURCE_DATE_EPOCH=$(date --date "$(sed -n 's/^ -- .*>  //p' debian/changelog | head -n 1)" +%s)
export SOURCE_DATE_EPOCH

echo 'step: applying the patches'
grep -v '^#' debian/patches/series | while read -r name; do
  patch --strip=1 --batch --silent < "debian/patches/$name"
done
for file in /firmware/*.patch; do
  # The source has DOS line ends, and a patch that is to be read has not.
  sed -n 's,^+++ b/,,p' "$file" | xargs sed -i 's/\r$//'
  patch --strip=1 --batch --fuzz=0 < "$file"
done

# Names of ours, or of the shell that started this, would choose another tool chain.
export PYTHON_COMMAND=python3 PYTHONHASHSEED=0 WORKSPACE="$PWD" EDK_TOOLS_PATH="$PWD/BaseTools" CONF_PATH="$PWD/Conf"

echo "step: building edk2's own tools"
make -C BaseTools/Source/C -j "$(nproc)" > /firmware/tools.log 2>&1 || {
  tail -n 20 /firmware/tools.log
  exit 1
}

echo 'step: building the firmware'
for name in build_rule tools_def target; do
  cp "BaseTools/Conf/$name.template" "Conf/$name.txt"
done
PATH=$PWD/BaseTools/BinWrappers/PosixLike:$PATH
build -q -n "$(nproc)" -a X64 -t GCC -b RELEASE -p OvmfPkg/AmdSev/AmdSevX64.dsc \
  --pcd "PcdFirmwareVersionString=L$version with every boot blob verified\\0" \
  --pcd "PcdFirmwareReleaseDateString=L$(date --date "@$SOURCE_DATE_EPOCH" +%m/%d/%Y)\\0" \
  > /firmware/build.log 2>&1 || {
  tail -n 20 /firmware/build.log
  exit 1
}
cp Build/AmdSev/RELEASE_GCC/FV/OVMF.fd /firmware/OVMF.amdsev.fd

# What it was built with, for whoever looks into a result that is not the known one.
dpkg-query --show --showformat '${Package}\t${Version}\n' > /firmware/packages.tsv
