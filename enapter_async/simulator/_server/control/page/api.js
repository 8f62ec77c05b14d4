// The control API. The token comes with the address, after the `#`, which browsers do not send to servers.

const STORED = "enapter-simulator-token";

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

let token = null;

export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(STORED, given);
    history.replaceState(null, "", location.pathname); // out of sight, and out of the history
  }
  token = sessionStorage.getItem(STORED);
  return token !== null;
}

export function setToken(text) {
  token = text;
  sessionStorage.setItem(STORED, text);
}

export async function call(method, path, body) {
  const headers = { Authorization: `Bearer ${token}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(10_000),
    });
  } catch {
    throw new ApiError("The simulator does not respond.", null);
  }
  const payload = response.status === 204 ? null : await response.json().catch(() => null);
  if (!response.ok) throw new ApiError(payload?.errors?.[0]?.message ?? `Status ${response.status}`, response.status);
  return payload;
}

export const devicePath = (id, ...rest) => ["devices", id, ...rest].map(encodeURIComponent).join("/");
