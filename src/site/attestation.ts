import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { copy } from 'fs-extra/esm';
import { copyHashed } from '../host/files.ts';
import { readTemplate, shellVariables, templatePath } from '../host/template.ts';

/** How the running VM attests again. It needs programs and values of its own: those of the initrd are gone by then. */
export interface RuntimeAttestation {
  /** kbs-client, or the sample client of a development bundle. */
  client: string;
  kbsUrl: string;
  /** Resource path of the disk key, by which the key broker's policy knows the image. */
  kbsPath: string;
  /** PEM certificates, the only ones that count. */
  kbsCa: string;
  /** Seconds between two attempts. */
  frequency: number;
  /** Seconds without a confirmation after which the VM powers off. */
  silence: number;
}

/**
 * Adds the report service for the container to the site layer, and what the running VM attests again with, where it does:
 * then there is a `cvm-attestation.service`, and the workload requires it. `cvm-report.socket` starts where the layer has
 * snpguest.
 * @param home the layer's /usr/lib/cvm, with its units
 */
export async function addAttestation(
  home: string,
  { snpguest, attestation }: { snpguest?: string | undefined; attestation?: RuntimeAttestation | undefined },
): Promise<void> {
  const folder = join(home, 'attest');
  await mkdir(folder, { mode: 0o755 });
  for (const name of ['report-service', 'watch', 'ending.sh', 'attest-again']) {
    await copy(templatePath(`site/attest/${name}`), join(folder, name));
  }
  if (snpguest !== undefined) await addHostBin(join(home, 'host-bin'), snpguest);
  if (attestation === undefined) return;
  const { client, kbsUrl, kbsPath, kbsCa, frequency, silence } = attestation;
  const units = join(home, 'units');
  await copy(templatePath('site/attest/cvm-attestation.service'), join(units, 'cvm-attestation.service'));
  await appendFile(
    join(units, 'cvm-workload.service'),
    `\n${await readTemplate('site/attest/required.conf')}`,
  );
  await addProgram(client, join(folder, 'kbs-client'));
  await writeFile(join(folder, 'kbs-ca.pem'), kbsCa);
  await writeFile(
    join(folder, 'settings'),
    shellVariables({
      kbs_url: kbsUrl,
      kbs_path: kbsPath,
      check_frequency: frequency,
      silence_seconds: silence,
    }),
  );
}

/** The container's /host/bin: our snpguest; below `libexec` the administrator's, which ours and the report service run. */
async function addHostBin(folder: string, snpguest: string): Promise<void> {
  await mkdir(join(folder, 'libexec'), { recursive: true, mode: 0o755 });
  await addProgram(templatePath('site/attest/snpguest'), join(folder, 'snpguest'));
  await addProgram(snpguest, join(folder, 'libexec/snpguest'));
  // Programs of the base are mounted over these.
  await writeFile(join(folder, 'busybox'), '');
  await writeFile(join(folder, 'libexec/curl'), '');
}

async function addProgram(file: string, target: string): Promise<void> {
  await copyHashed(file, target, 0o755);
}
