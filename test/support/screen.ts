/** A terminal's screen as far as davit writes on one: lines, returns, moves up, and clearing to the end. */
export function screen(columns: number, rows: number) {
  let lines: string[] = [""];
  let [row, column] = [0, 0];
  let rest = "";
  const decoder = new TextDecoder();
  const put = (character: string): void => {
    if (column >= columns) newLine(0);
    const line = (lines[row] ?? "").padEnd(column);
    lines[row] = line.slice(0, column) + character + line.slice(column + 1);
    column++;
  };
  const newLine = (to: number): void => {
    row++;
    column = to;
    lines[row] ??= "";
  };
  const control = (sequence: string): void => {
    const [, count = "", command = ""] = /^\x1b\[\??([\d;]*)([A-Za-z])$/.exec(sequence) ?? [];
    // What has scrolled off the screen cannot be reached.
    if (command === "A") row = Math.max(row - Number(count || 1), lines.length - rows, 0);
    if (command === "J") lines = lines.slice(0, row + 1);
    if (command === "J" || command === "K") lines[row] = (lines[row] ?? "").slice(0, column);
  };
  return {
    write(bytes: Uint8Array): void {
      rest += decoder.decode(bytes, { stream: true });
      while (rest !== "") {
        const sequence = /^\x1b\[\??[\d;]*[A-Za-z]/.exec(rest)?.[0];
        if (sequence === undefined && rest.startsWith("\x1b") && rest.length < 12) return;
        if (sequence !== undefined) control(sequence);
        else if (rest.startsWith("\n")) newLine(column);
        else if (rest.startsWith("\r")) column = 0;
        else put(rest.charAt(0));
        rest = rest.slice(sequence?.length ?? 1);
      }
    },
    text: (): string => lines.map((line) => line.trimEnd()).join("\n"),
  };
}
