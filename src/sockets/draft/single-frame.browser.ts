/** No messages of one frame. */
export function singleFrameShape(): undefined {}
