import { kvmUsable } from '../boot/index.ts';
import { exitStatus } from '../host/errors.ts';
import { locateTool, missingPackages, type ToolName, tools } from '../host/tools.ts';

/** `cvm doctor`: one line a tool; status 1 where the builder could not work. */
export async function doctorCommand(): Promise<void> {
  for (const [name, { purpose }] of Object.entries(tools)) {
    const path = locateTool(name as ToolName);
    process.stdout.write(`${path === undefined ? 'MISSING' : 'ok     '}  ${name.padEnd(18)}  ${purpose}\n`);
  }
  const kvm = (await kvmUsable()) ? 'usable' : 'not usable: development boots run under TCG, slower';
  process.stdout.write(`kvm: ${kvm}\n`);
  const missing = missingPackages();
  if (missing.length === 0) return;
  process.stdout.write(`hint: apt-get install ${missing.join(' ')}\n`);
  process.exitCode = exitStatus.failed;
}
