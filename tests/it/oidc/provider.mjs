// An OpenID Connect provider (npm oidc-provider) on a free port, driven by lines on stdin:
//   login NAME   a login by authorization code with PKCE, through its pages; prints the access token
//   refresh NAME the next access token of that login, without its pages
//   ttl SECONDS  how long access tokens last from now on
//   rotate       new keys, beside the old ones
//   away, back   nobody listens at its port, and it does again
//   fetches      how often its keys were fetched
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

// Only answers go to stdout.
const say = (line) => process.stdout.write(`${line}\n`);
for (const level of ['log', 'info', 'warn']) console[level] = console.error;

const modules = process.env.ORDINAL_TEST_NODE_MODULES;
const from = (path) => import(pathToFileURL(`${modules}/${path}`).href);
const { Provider } = await from('oidc-provider/lib/index.js');
const jose = await from('jose/dist/webapi/index.js');

const server = createServer();
const listen = (port) => new Promise((ready) => server.listen(port, '127.0.0.1', ready));
await listen(0);
const { port } = server.address();
const issuer = `http://127.0.0.1:${port}`;
const callback = 'http://127.0.0.1:1/callback';
const keys = [];
// What each login is refreshed with.
const refreshers = new Map();
let lasts = 600;
let names = 0;
let fetches = 0;

async function rotate() {
  const { privateKey } = await jose.generateKeyPair('RS256', { extractable: true });
  names += 1;
  const key = { ...(await jose.exportJWK(privateKey)), kid: `key-${names}`, use: 'sig', alg: 'RS256' };
  // It signs with the first of them.
  keys.unshift(key);
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: [{
      client_id: 'console', application_type: 'native', token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'],
      redirect_uris: [callback],
    }],
    issueRefreshToken: () => true,
    cookies: { keys: ['a secret of a test'] },
    features: {
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:ordinal',
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: 'openid', audience: 'ordinal', accessTokenTTL: lasts, accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    extraTokenClaims: () => ({ realm_access: { roles: ['offline_access', 'ordinal-ops'] } }),
  });
  server.removeAllListeners('request');
  server.on('request', ({ url }) => { fetches += url.startsWith('/jwks') ? 1 : 0; });
  server.on('request', provider.callback());
}

/// Follows redirects with the cookies of one browser.
async function login(name) {
  const jar = new Map();
  const visit = async (url, form) => {
    const cookie = [...jar].map(([key, value]) => `${key}=${value}`).join('; ');
    const answer = await fetch(url, {
      method: form ? 'POST' : 'GET', body: form && new URLSearchParams(form), redirect: 'manual',
      headers: { cookie },
    });
    for (const set of answer.headers.getSetCookie()) {
      const [key, value] = set.split(';')[0].split('=');
      if (value) jar.set(key, value); else jar.delete(key);
    }
    const to = answer.headers.get('location');
    return to ? { to: new URL(to, issuer).href } : { page: await answer.text() };
  };
  const verifier = randomBytes(32).toString('base64url');
  const ask = new URLSearchParams({
    client_id: 'console', response_type: 'code', scope: 'openid', redirect_uri: callback,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  let at = `${issuer}/auth?${ask}`;
  for (let steps = 0; steps < 12 && !at.startsWith(callback); steps += 1) {
    let { to, page } = await visit(at);
    if (page) {
      // The form of the login, or that of the consent.
      const [, prompt] = page.match(/name="prompt" value="(\w+)"/);
      ({ to } = await visit(at, { prompt, login: name, password: 'x' }));
    }
    at = to;
  }
  const code = new URL(at).searchParams.get('code');
  return token(name, {
    grant_type: 'authorization_code', code, redirect_uri: callback, code_verifier: verifier,
  });
}

async function token(name, grant) {
  const body = new URLSearchParams({ ...grant, client_id: 'console' });
  const answer = await (await fetch(`${issuer}/token`, { method: 'POST', body })).json();
  refreshers.set(name, answer.refresh_token);
  return answer.access_token;
}

await rotate();
say(issuer);
for await (const line of createInterface({ input: process.stdin })) {
  const [verb, name] = line.split(' ');
  if (verb === 'rotate') {
    await rotate();
    say('rotated');
  } else if (verb === 'ttl') {
    lasts = Number(name);
    say(name);
  } else if (verb === 'refresh') {
    say(await token(name, {
      grant_type: 'refresh_token', refresh_token: refreshers.get(name),
    }));
  } else if (verb === 'away') {
    await new Promise((closed) => { server.close(closed); server.closeAllConnections(); });
    say('away');
  } else if (verb === 'back') {
    await listen(port);
    say('back');
  } else if (verb === 'fetches') {
    say(String(fetches));
  } else {
    say(await login(name));
  }
}
process.exit(0);
