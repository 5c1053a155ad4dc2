// Asks through a proxy with undici's fetch.
//
// usage: UNDICI=…/undici/index.js node undici.mjs undici AUTHORITY.pem
//
// Reads a list of requests in JSON from standard input and prints what came of each, likewise: its status (0
// where there was no answer), and the refusal's name and the body, or the error.
import { readFileSync } from "node:fs";

const { ProxyAgent, fetch } = (await import(process.env.UNDICI)).default;
const ca = readFileSync(process.argv[3]);

async function ask({ proxy, url, method, body }) {
  const dispatcher = new ProxyAgent({ uri: proxy, requestTls: { ca }, proxyTls: { ca } });
  try {
    const signal = AbortSignal.timeout(20_000);
    const said = await fetch(url, { dispatcher, method, body, signal });
    const refusal = said.headers.get("X-Tollgate-Error") ?? "";
    return { status: said.status, body: refusal + (await said.text()) };
  } catch (error) {
    return { status: 0, body: `${error} ${error.cause ?? ""}` };
  } finally {
    await dispatcher.destroy();
  }
}

const said = [];
for (const request of JSON.parse(readFileSync(0, "utf8"))) said.push(await ask(request));
console.log(JSON.stringify(said));
