/**
 * Prints the Debian packages of those host tools that are not installed, one a line. The set-up scripts run it
 * before anything else, so it imports nothing but the table. Each argument is a file with further tools,
 * one `package program` a line, for the tests' own.
 */
import { readFileSync } from 'node:fs';
import { missingPackages, which } from './tools.ts';

const further = process.argv
  .slice(2)
  .flatMap((file) => readFileSync(file, 'utf8').split('\n'))
  .map((line) => line.replace(/#.*/, '').trim().split(/\s+/))
  .filter(([name, program]) => name !== undefined && program !== undefined && which(program) === undefined)
  .map(([name]) => name!);
const missing = [...new Set([...missingPackages(), ...further])].sort();
if (missing.length > 0) console.log(missing.join('\n'));
