import { createServer, type Socket } from "node:net";

/** A proxy on loopback that forwards nothing: it records each request's head, and gives all the same answer. */
export async function recordingProxy(status = "502 Bad Gateway") {
  const heads: string[] = [];
  const server = createServer((socket: Socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (bytes) => {
      heads.push(bytes.toString());
      socket.end(`HTTP/1.1 ${status}\r\ncontent-length: 3\r\nconnection: close\r\n\r\nno\n`);
    });
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  const host = `127.0.0.1:${typeof address === "object" && address ? address.port : 0}`;
  const names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"];
  const env = { ...Object.fromEntries(names.map((name) => [name, `http://me:pass@${host}`])), NO_PROXY: "" };
  return { host, env, heads, [Symbol.dispose]: () => void server.close() };
}
