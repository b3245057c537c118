import type { ByteStream } from "../bytes.ts";
import { hasCode } from "../errors.ts";
import { Type } from "../schema.ts";
import type { EngineClient } from "./client.ts";

const Created = Type.Object({ Id: Type.String() });

/** The container endpoints of the Engine API. */
export class EngineContainers {
  readonly #client: EngineClient;

  constructor(client: EngineClient) {
    this.#client = client;
  }

  async create(config: object): Promise<string> {
    return (await this.#client.json(Created, "POST", "/containers/create", { json: config })).Id;
  }

  /** Unpacks a tar in a container, which need not run. */
  async put(id: string, path: string, archive: ByteStream): Promise<void> {
    const headers = { "content-type": "application/x-tar" };
    await this.#client.call("PUT", `/containers/${id}/archive`, { query: { path }, body: archive, headers });
  }

  /** Ends what runs in a container, as its service would: first asked, then killed. */
  async stop(id: string): Promise<void> {
    await this.#client.call("POST", `/containers/${id}/stop`);
  }

  async remove(id: string): Promise<void> {
    await this.#client
      .call("DELETE", `/containers/${id}`, { query: { force: "1" } })
      .catch((error: unknown) => {
        if (!hasCode(error, "not-found")) throw error;
      });
  }
}
