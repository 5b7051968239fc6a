/** The part of Preact that the page uses. */
export type Child = any;
export function h(type: any, props: any, ...children: Child[]): any;
export function render(view: any, parent: Element): void;
export function Fragment(props: any): any;
