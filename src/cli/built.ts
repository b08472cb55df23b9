import { dirname, join, relative } from 'node:path';
import { kitText, type SplitKit } from '../build/kit.ts';
import { printedPath } from '../build/printed-path.ts';
import type { Manifest } from '../bundle/index.ts';
import type { Report } from '../report/report.ts';

/** What a build made. */
interface Built {
  folder: string;
  archive: string;
  manifest: Manifest;
  handoff: string;
  policyFile: string;
  /** The files of user_config: what whoever runs the host can read, and what not. */
  kit: SplitKit;
}

/** Says what was built, and ends with the line that FLARE looks for: exactly once, and only when all went well. */
export async function reportBuilt(report: Report, result: Built): Promise<void> {
  const { manifest, handoff, policyFile } = result;
  const counts = manifest.launch.vcpus.join(', ');
  report.note(`${manifest.kind} bundle ${manifest.id} of ${manifest.name}: ${result.folder}`);
  report.note(
    `launch digests for ${counts} vCPUs of ${manifest.launch.cpu}, firmware ${manifest.firmware.verdict}`,
  );
  if (manifest.firmware.accepted) {
    report.note(`firmware ${manifest.firmware.sha256} is used at the administrator's word (accept_firmware)`);
  }
  report.note(kitText(result.kit));
  report.note(`key and reference values: ${handoff}`);
  report.note(`policy: ${policyFile}`);
  if (manifest.kind === 'development') report.note(`try it: cvm boot ${result.folder}`);
  const output = dirname(dirname(result.archive));
  const printed = await printedPath(output);
  if (printed !== output) {
    report.note(
      `the path below leads to ${result.archive} by a link, because FLARE reads a path up to its first blank`,
    );
  }
  await report.result(`CVM Bundle ${join(printed, relative(output, result.archive))} is ready`);
}
