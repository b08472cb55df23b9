import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * In place of snpguest, for machines without the device: records its arguments, and writes a report of the VMPL it was
 * asked for with the report data it was given (AMD's SEV-SNP firmware ABI, table ATTESTATION_REPORT: VMPL at 48,
 * REPORT_DATA at 80, 1184 bytes in all). Says what it was told for all other commands.
 * @param record file that its arguments go to, a line a call
 */
export function standInSnpguest(record: string): string {
  return `#!/usr/bin/busybox sh
echo "$*" >> ${record}
[ "$1" = report ] || { echo "stand-in: $*"; exit 0; }
report=$2 request=$3 vmpl=1
while [ $# -gt 0 ]; do
  case $1 in -v | --vmpl) vmpl=$2 ;; esac
  shift
done
{
  head -c 48 /dev/zero
  printf "\\\\00\${STAND_IN_VMPL:-$vmpl}\\\\000\\\\000\\\\000"
  head -c 28 /dev/zero
  head -c 64 "$request"
  head -c 1040 /dev/zero
} > "$report"
`;
}

/** A stand-in in a private folder. */
export async function makeStandIn(): Promise<
  { folder: string; file: string; record: string } & AsyncDisposable
> {
  const folder = await mkdtemp(join(tmpdir(), 'snpguest-'));
  const file = join(folder, 'snpguest');
  const record = join(folder, 'record');
  await writeFile(record, '');
  await writeFile(file, standInSnpguest(record), { mode: 0o755 });
  return { folder, file, record, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}
