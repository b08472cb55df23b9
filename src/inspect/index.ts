/** Looking into a finished bundle: its logs, what is sealed in it, what it holds. */
export { type FurtherOptions, furtherVerification } from './checks/index.ts';
export { type Inside, lookInside } from './inside.ts';
export { readKeyFile } from './key-file.ts';
export { causesText, type LoggedCode, loggedCodes } from './logs/causes.ts';
export { type Explanation, parseExplanations, readExplanations } from './logs/explanations.ts';
export { logLines } from './logs/lines.ts';
