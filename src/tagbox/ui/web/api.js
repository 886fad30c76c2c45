// What the pages ask of the server. Addresses are relative to the page, which may lie behind a proxy.

export class ServerError extends Error {}

export async function request(address, options = {}) {
  const answer = await fetch(address, options);
  if (answer.ok) return answer;
  const line = await answer.json().then((body) => body.error, () => answer.statusText);
  throw new ServerError(line);
}

export async function requestJson(address, options) {
  return (await request(address, options)).json();
}

export function songAddress(token, rest = "", query = {}) {
  const values = new URLSearchParams(query).toString();
  return `api/songs/${token}${rest}${values ? `?${values}` : ""}`;
}

// Wait for a while that need not be exact.
export function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
