import { expect, test } from 'vitest';
import { logLine } from '../../../../src/kbs/dev-kbs/log.ts';

const entry = { time: 0, method: 'GET', uri: '/kbs/v0/auth', status: 200, who: 'none', note: '' } as const;

test('a line has time, method, path, status and who', () => {
  expect(logLine(entry)).toBe('1970-01-01T00:00:00.000Z GET /kbs/v0/auth 200 none');
  expect(logLine({ ...entry, status: 401, who: 'admin', note: 'PolicyDeny: no' })).toBe(
    '1970-01-01T00:00:00.000Z GET /kbs/v0/auth 401 admin PolicyDeny: no',
  );
  expect(logLine({ ...entry, status: undefined, note: 'fault drop' })).toMatch(/ closed none fault drop$/);
});

test('a query is not told', () => {
  expect(logLine({ ...entry, uri: '/kbs/v0/resource/a/b/c?token=secret?x' })).toMatch(
    / \/kbs\/v0\/resource\/a\/b\/c\?… 200 none$/,
  );
});

test('no control character and no second line comes of what a client wrote', () => {
  const line = logLine({ ...entry, uri: '/a\u001b[2J\r\nb', note: 'x\n2026 POST /forged 200 admin' });
  expect(line).toMatch(/\/a\\u001b\[2J\\r\\nb 200 none x\\n2026 POST/);
  expect(JSON.stringify(line).slice(1, -1).replaceAll('\\\\', '\\')).toBe(line);
});
