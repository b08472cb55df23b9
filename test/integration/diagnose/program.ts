/** `cvm diagnose` as a process of its own: bundle, subject, flags as JSON. */
import { type DiagnoseFlags, diagnoseCommand } from '../../../src/cli/diagnose.ts';
import { renderError } from '../../../src/report/error.ts';

const [bundle, subject, flags] = process.argv.slice(2) as [string, string, string];
try {
  await diagnoseCommand(bundle, subject, JSON.parse(flags) as DiagnoseFlags);
} catch (error) {
  const { text, status } = renderError(error);
  process.stderr.write(`${text}\n`);
  process.exitCode = status;
}
